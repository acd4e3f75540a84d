"""What a feature stands for: the codes and labels that go with it, its name, how it comes and goes."""

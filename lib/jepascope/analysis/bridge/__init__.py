"""How far labels reach into a space: by axes, by clusters, by features; and what they leave."""

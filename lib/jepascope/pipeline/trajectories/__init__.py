"""Chapter 6: paths of patients through c and z."""

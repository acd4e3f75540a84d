"""Chapter 5, z as a space: probes, map and clusters, shape."""

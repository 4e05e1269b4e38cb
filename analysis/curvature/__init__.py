"""Curvature: the spectrum, trace and density of Hessians, and sharpness."""

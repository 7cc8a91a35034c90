"""Tangent kernels: in which directions of function space training moves a network."""

"""ImageBind's vision, audio and IMU trunks (arXiv 2305.05665)."""

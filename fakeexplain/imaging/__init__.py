"""Files and pixels: bytes -> SourceImage, JPEG facts, regions. Knows nothing of forgeries."""

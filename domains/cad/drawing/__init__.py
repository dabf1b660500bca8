"""Pictures of parts and of how arms did: shaded images, turning viewers, hidden-line drawings, charts, downloads."""

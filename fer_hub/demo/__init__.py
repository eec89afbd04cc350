"""Demo: the Gradio page."""

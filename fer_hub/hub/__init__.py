"""Hub: model folders, data sets and Spaces as files, and their way to and from the Hugging Face Hub."""

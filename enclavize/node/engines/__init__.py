"""What container engines know about the image of a container: from their own stores."""

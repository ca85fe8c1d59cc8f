"""The generator of the documents' results and picture: `make docs`."""

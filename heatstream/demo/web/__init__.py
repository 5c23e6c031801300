"""The live page: people in a browser, served by the run itself."""

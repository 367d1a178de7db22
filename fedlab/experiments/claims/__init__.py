"""Every claim of the article, and what the stored results and the lessons' checks say about it."""

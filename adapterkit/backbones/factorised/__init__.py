"""Weight matrices written as fewer numbers: the forms, and their arithmetic."""

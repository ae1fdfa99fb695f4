"""The report: tables, charts and errors on one HTML page that needs nothing from outside."""

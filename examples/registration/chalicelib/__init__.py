"""What ships to Lambda besides app.py."""

"""The web page in a real Chromium, and the ground that its tests stand on."""

"""Deploying another project than comms-reprocess, with the same code."""

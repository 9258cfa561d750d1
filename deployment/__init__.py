"""What deploy.py does beyond `chalice deploy`: the resources of a stage, and commands to look at them."""

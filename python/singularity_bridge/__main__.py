"""`python -m singularity_bridge` is the same as the command `singularity-bridge`."""

from singularity_bridge.cli import main

main()

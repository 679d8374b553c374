"""`python -m inceptory`."""

from inceptory.app import main

main()

"""`python -m anymal`, which is how torchrun starts it; the same as `anymal`."""

from anymal.cli.main import main

if __name__ == "__main__":
    main()

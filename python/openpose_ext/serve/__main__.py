import sys

from openpose_ext.serve.command import main

if __name__ == "__main__":
    sys.exit(main())

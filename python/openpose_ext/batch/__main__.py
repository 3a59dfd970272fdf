"""`python -m openpose_ext.batch`."""

import sys

from openpose_ext.batch.command import main

sys.exit(main())

"""What is refused: by the readers, and, as test_refusals_beside_dockerd.py asks it, by dockerd."""

LOG_OPTIONS = [
    ("json-file", {"max-size": "0"}, "max-size must be a positive number"),
    ("json-file", {"max-size": "0.1b"}, "max-size must be a positive number"),
    ("json-file", {"max-size": "much"}, "invalid size: 'much'"),
    ("json-file", {"max-size": ""}, "invalid size: ''"),
    ("json-file", {"max-size": "-5"}, "invalid size: '-5'"),
    ("json-file", {"max-file": "0"}, "max-file cannot be less than 1"),
    ("json-file", {"max-file": "-2"}, "max-file cannot be less than 1"),
    ("json-file", {"max-file": "x"}, 'strconv.Atoi: parsing "x": invalid syntax'),
    ("json-file", {"compress": "yes"}, 'strconv.ParseBool: parsing "yes": invalid syntax'),
    ("json-file", {"compress": "true"},
     "compress cannot be true when max-file is less than 2 or max-size is not set"),
    ("json-file", {"mode": "x"}, "logger: logging mode not supported: x"),
    ("json-file", {"max-buffer-size": "1m"},
     "logger: max-buffer-size option is only supported with 'mode=non-blocking'"),
    ("json-file", {"mode": "non-blocking", "max-buffer-size": "x"},
     "error parsing option max-buffer-size: invalid size: 'x'"),
    ("json-file", {"size": "1"}, "unknown log opt 'size' for json-file log driver"),
    ("local", {"size": "1"}, "unknown log opt 'size' for log driver local"),
    ("bogus", {}, 'error looking up logging plugin bogus: plugin "bogus" not found'),
]  # fmt: skip
"""Driver, options, and dockerd's own words."""

TMPFS_OPTIONS = ["bogus", "size", "size=", "size=1q", "size=1e3", "size=-1", "size=1kb", "mode=9", "mode=",
         "mode=0x1", "uid=x", "uid=-1", "gid=99999999999", "nr_inodes=x", "nr_inodes=5%", "exec=1",
]  # fmt: skip
"""What the kernel, and so dockerd at the start, refuses."""

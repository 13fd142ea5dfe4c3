"""A harness for libvirt/QEMU virtual machines that boot an OCI image. Knows nothing of the suite."""

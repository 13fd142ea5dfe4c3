"""What networks change on the host: bridges, the firewall table, forwarding and other settings."""

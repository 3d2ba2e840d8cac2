"""The policy for files from elsewhere: hosts, redirects, and what an answer means as a reason."""

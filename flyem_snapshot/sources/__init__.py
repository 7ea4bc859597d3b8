"""Where data comes from: files, servers, object stores."""

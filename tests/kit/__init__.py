"""What tests of several topics share: queries, sessions, messages, and bridges that are moved by hand."""

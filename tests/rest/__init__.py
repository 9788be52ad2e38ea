"""What the tests of REST backends share."""

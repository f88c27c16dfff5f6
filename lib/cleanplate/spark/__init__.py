"""The Spark side: session, partition function, devices."""

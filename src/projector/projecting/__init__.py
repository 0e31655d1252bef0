"""From the store into the query tables: batch by batch, or all anew."""

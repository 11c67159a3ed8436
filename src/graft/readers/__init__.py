"""From files on disk to Data, one format a file; `split` then says which rows learn, select and score."""

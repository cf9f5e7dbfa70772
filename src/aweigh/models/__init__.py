"""Model families, one file each: how their files are scanned, read, asked, converted and proven."""

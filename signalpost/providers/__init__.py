"""The vendors, one folder each: delete the folder and the vendor is gone."""

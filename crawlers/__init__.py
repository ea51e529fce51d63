"""The Scrapy project: from a declared source to WARC files in object storage."""

"""A pluggable payment framework: any provider, any shop, one order lifecycle."""

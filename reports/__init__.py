"""What a person looks at: figures written as PNG."""

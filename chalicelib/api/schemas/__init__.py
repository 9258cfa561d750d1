"""What the API accepts and returns. Each type is also its own description in the OpenAPI document."""

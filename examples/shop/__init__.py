"""What `order_fulfilment.py` needs besides durable execution: orders, the outside world, and reports."""

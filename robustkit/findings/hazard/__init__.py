"""How often accidents change a class: chances of a flip by one event, and how many of a million objects that makes."""

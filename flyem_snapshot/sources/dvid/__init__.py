"""A small client of DVID: version graph, labels, annotations, key-value stores and ROIs over HTTP.

It is usable on its own:

    client = DvidClient("http://server:8000")
    node = resolve(client, "1d7b1a:master")
    segmentation = Labelmap.open(node, "segmentation")
"""

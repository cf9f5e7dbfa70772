"""Container images of releases, built without Docker: a base, and on it a layer for each thing that changes by itself.

``base.py`` looks at what an image is built on, ``packages.py`` chooses and installs what runs on it, ``build.py`` puts
the layers together, ``publish.py`` sends them to a registry, with a bill of materials and a signature beside them.
"""

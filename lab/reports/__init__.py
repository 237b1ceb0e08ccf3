"""From a run's journal to what people and machines read: text tables, JSON, JUnit XML, one HTML file.

    results/<run id>/run.json ──► RunJournal ──┬─► text     rows for the command line
                                               ├─► json
                                               ├─► JUnit    for continuous integration
                                               └─► HTML     one file, nothing to fetch

Pure functions, apart from reading and writing the journal itself.
"""

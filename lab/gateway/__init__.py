"""The only door to the Kubernetes API for automation.

    client ──► audit ──► authenticate ──► control ──► decide ──► upstream ──► API server
               (records   (token → actor) (mode, kill  (allow, shadow,  (impersonates,
                before the                 switch)      refuse)          rewrites to a dry run)
                answer)

Everything is refused that is not understood. The automation holds no other credentials, so what the chain
does not pass on does not happen.
"""

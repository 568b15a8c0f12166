"""
A mutating admission webhook for Kubernetes: it adds the sidecar to pods as they are made.

    API server ─▶ app ─▶ review ─▶ pod ─▶ wishes ─▶ shaping ─▶ patch ─▶ base64 in the answer
                  POST   Admission-  what   the pod's  the         RFC 6902
                  /mutate  Review    is     annota-    template,
                                     there  tions      fitted

    serving      the two ports, from ready to stopped        certificates   the TLS pair, loaded again when it changes
    template     what is injected: `template.yaml`           tallies        the metrics
    quantity     `250m`, `64Mi`                              options        the words of `sidecar injector`

Which pods are sent here is the business of the MutatingWebhookConfiguration: what is sent gets the sidecar, unless the
pod says no, has it already, or could not run with it. Whatever cannot be read is allowed as it is, with a warning: a
pod without a sidecar is a smaller loss than a cluster that makes no pods. Nothing here has an effect beyond its answer,
and no credentials of the cluster are needed.

This package serves another party than the rest of the program does, and shares only the way to log and to show metrics.
"""

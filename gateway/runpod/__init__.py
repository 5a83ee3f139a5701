"""The gateway as a worker of RunPod serverless: jobs in, answers out, without an HTTP server of its own."""

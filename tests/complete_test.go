package tests

import "os"

// isComplete asks for all kernels and recipes instead of the first few.
func isComplete() bool { return os.Getenv("FOUNDRY_COMPLETE") != "" }

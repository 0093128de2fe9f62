package main

func churn(words []string) int { return 0 }

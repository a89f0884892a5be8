// Package files turns paths that anyone may have a hand in into bytes, and bytes
// into files that appear whole or not at all.
//
// Read takes regular files up to a size. Create and Folder make temporaries beside
// the place that they are meant for; a lock that the system drops with the process
// tells what a killed one left behind, and the next to write there removes it.
// Private makes the folder of a cache that nobody else can write.
//
// Libraries write whole files, too, but none removes what a killed process left.
//
// Read next: write.go.
package files

package plan

import (
	"fmt"
	"slices"
)

// Need is a capability of a GPU, and of what compiles for it, that no language version
// stands for.
type Need string

// Matmul2D is products of blocks in threadgroup memory by matrix units:
// mpp::tensor_ops::matmul2d over several simdgroups, with sums in a cooperative tensor.
const Matmul2D Need = "matmul2d"

// MatrixMSL is the language version that has Matmul2D.
const MatrixMSL = "4.0"

// Capabilities returns the language version and the needs of kernels.
func Capabilities(kernels []Kernel) (msl string, needs []Need) {
	if slices.ContainsFunc(kernels, func(k Kernel) bool { return k.Matrices > 0 }) {
		return MatrixMSL, []Need{Matmul2D}
	}
	return plainMSL, nil
}

// plainMSL is the language version that stages need which use no matrix units.
const plainMSL = "3.0"

// verifyNeeds checks that the plan asks for what its kernels need.
func (p *Plan) verifyNeeds() error {
	msl, needs := Capabilities(p.Kernels)
	if len(needs) > 0 && p.MSL < msl {
		return fmt.Errorf("msl is %q, kernels with matrix units need %q", p.MSL, msl)
	}
	if !slices.Equal(p.Needs, needs) {
		return fmt.Errorf("needs %q, the kernels need %q", p.Needs, needs)
	}
	return nil
}

package nginx

import (
	"testing"

	"github.com/switchyard-net/switchyard/internal/ingress/enginetest"
)

func TestRules(t *testing.T) { enginetest.Rules(t, start(differs)) }

func TestMirror(t *testing.T) { enginetest.Mirror(t, start(differs)) }

func TestErrorPages(t *testing.T) { enginetest.ErrorPages(t, start(differs)) }

func TestAffinity(t *testing.T) { enginetest.Affinity(t, start(differs)) }

func TestConfigMaps(t *testing.T) { enginetest.ConfigMaps(t, start(differs)) }
